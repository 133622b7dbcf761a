// Judges an OPC package with mono's own classes: System.IO.Packaging reads it, SignedXml verifies each signature in it.
// What PackageDigitalSignatureManager does on Windows with the list of parts, mono has not implemented.
// Arguments: the package. Prints "part NAME TYPE" for each part, "valid NAME" or "invalid NAME" for each signature.
using System;
using System.IO;
using System.IO.Packaging;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Security.Cryptography.Xml;
using System.Xml;

static class JudgeOpc
{
    const string Kind = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/";

    static int Main(string[] arguments)
    {
        using (var package = Package.Open(arguments[0], FileMode.Open, FileAccess.Read))
        {
            foreach (var part in package.GetParts())
                Console.WriteLine("part {0} {1}", part.Uri, part.ContentType);
            foreach (var start in package.GetRelationshipsByType(Kind + "origin"))
            {
                var origin = package.GetPart(PackUriHelper.ResolvePartUri(start.SourceUri, start.TargetUri));
                foreach (var link in origin.GetRelationshipsByType(Kind + "signature"))
                {
                    var part = package.GetPart(PackUriHelper.ResolvePartUri(link.SourceUri, link.TargetUri));
                    Console.WriteLine("{0} {1}", Valid(part) ? "valid" : "invalid", part.Uri);
                }
            }
        }
        return 0;
    }

    static bool Valid(PackagePart part)
    {
        var document = new XmlDocument { PreserveWhitespace = true, XmlResolver = null };
        using (var stream = part.GetStream(FileMode.Open, FileAccess.Read))
            document.Load(stream);
        var signed = new SignedXml(document);
        signed.LoadXml(document.DocumentElement);
        foreach (KeyInfoClause clause in signed.KeyInfo)
        {
            var data = clause as KeyInfoX509Data;
            if (data != null)
                return signed.CheckSignature(new X509Certificate2((X509Certificate)data.Certificates[0]), true);
        }
        return false;
    }
}
