// Judges a signed ClickOnce manifest with the XML signatures of .NET and by the rules of mansign2.cs of dotnet/msbuild,
// written down anew. Prints one line for each thing that holds, and says what does not on the standard error.
using System;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Security.Cryptography.Xml;
using System.Xml;

public class RsaSha256 : SignatureDescription
{
    public RsaSha256()
    {
        KeyAlgorithm = typeof(RSACryptoServiceProvider).AssemblyQualifiedName;
        DigestAlgorithm = typeof(SHA256Managed).AssemblyQualifiedName;
        FormatterAlgorithm = typeof(RSAPKCS1SignatureFormatter).AssemblyQualifiedName;
        DeformatterAlgorithm = typeof(RSAPKCS1SignatureDeformatter).AssemblyQualifiedName;
    }

    public override AsymmetricSignatureDeformatter CreateDeformatter(AsymmetricAlgorithm key)
    {
        var made = new RSAPKCS1SignatureDeformatter(key);
        made.SetHashAlgorithm("SHA256");
        return made;
    }
}

public static class Judge
{
    const string Dsig = "http://www.w3.org/2000/09/xmldsig#";

    public static int Main(string[] arguments)
    {
        CryptoConfig.AddAlgorithm(typeof(RsaSha256), Dsig + "rsa-sha256");
        CryptoConfig.AddAlgorithm(typeof(SHA256Managed), Dsig + "sha256");
        try
        {
            foreach (var path in arguments) Look(path);
            return 0;
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }

    static void Look(string path)
    {
        var names = new XmlNamespaceManager(new NameTable());
        names.AddNamespace("asm", "urn:schemas-microsoft-com:asm.v1");
        names.AddNamespace("asm2", "urn:schemas-microsoft-com:asm.v2");
        names.AddNamespace("ds", Dsig);
        names.AddNamespace("rel", "http://schemas.microsoft.com/windows/rel/2005/reldata");
        names.AddNamespace("r", "urn:mpeg:mpeg21:2003:01-REL-R-NS");
        names.AddNamespace("as", "http://schemas.microsoft.com/windows/pki/2005/Authenticode");

        var manifest = Load(File.ReadAllText(path));
        var outer = One(manifest, "asm:assembly/ds:Signature", names);
        Hold(outer.GetAttribute("Id") == "StrongNameSignature", "the outer signature is called so");
        Signed(manifest, outer);
        Console.WriteLine("StrongNameSignature");

        var licence = Load(One(outer, "ds:KeyInfo/rel:RelData/r:license", names).OuterXml);
        var inner = One(licence, "r:license/r:issuer/ds:Signature", names);
        Hold(inner.GetAttribute("Id") == "AuthenticodeSignature", "the inner signature is called so");
        Signed(licence, inner);
        Console.WriteLine("AuthenticodeSignature");

        var about = One(licence, "r:license/r:grant/as:ManifestInformation", names);
        // As mansign2.cs does: only a reader of this kind makes one line end of CR and LF.
        var without = new XmlDocument { PreserveWhitespace = true };
        without.Load(XmlReader.Create(new StringReader(manifest.OuterXml), new XmlReaderSettings()));
        var gone = One(without, "asm:assembly/ds:Signature", names);
        gone.ParentNode.RemoveChild(gone);
        var form = new XmlDsigExcC14NTransform();
        form.LoadInput(without);
        var hash = new SHA256Managed().ComputeHash((Stream)form.GetOutput()).Reverse();
        Hold(about.GetAttribute("Hash") == string.Concat(hash.Select(one => one.ToString("x2"))), "the licence's hash");
        Console.WriteLine("Hash");

        var identity = One(manifest, "asm:assembly/asm:assemblyIdentity", names);
        var principal = One(about, "as:assemblyIdentity", names);
        Hold(identity.Attributes.Count == principal.Attributes.Count, "as many attributes of the identity");
        foreach (XmlAttribute one in identity.Attributes)
            Hold(one.Value == principal.GetAttribute(one.LocalName), "the identity's " + one.Name);
        Console.WriteLine("assemblyIdentity");

        var key = new RSACryptoServiceProvider();
        key.FromXmlString(One(outer, "ds:KeyInfo/ds:KeyValue/ds:RSAKeyValue", names).OuterXml.Replace(" xmlns=\"" + Dsig + "\"", ""));
        var blob = key.ExportCspBlob(false);
        BitConverter.GetBytes(0x2400).CopyTo(blob, 4); // for signatures, where mono says for exchange
        var strong = BitConverter.GetBytes(0x2400).Concat(BitConverter.GetBytes(0x8004));
        var whole = strong.Concat(BitConverter.GetBytes(blob.Length)).Concat(blob).ToArray();
        var name = new AssemblyName("x");
        name.SetPublicKey(whole);
        var token = string.Concat(name.GetPublicKeyToken().Select(one => one.ToString("x2")));
        Hold(identity.GetAttribute("publicKeyToken") == token, "the strong name, which should be " + token);
        Console.WriteLine("publicKeyToken");

        var certificate = new X509Certificate2(Convert.FromBase64String(One(inner, "ds:KeyInfo/ds:X509Data/ds:X509Certificate[1]", names).InnerText));
        Hold(((RSA)certificate.PublicKey.Key).ToXmlString(false) == key.ToXmlString(false), "the certificate's key");
        var publisher = One(manifest, "asm:assembly/asm2:publisherIdentity", names);
        var subject = certificate.SubjectName.Decode(X500DistinguishedNameFlags.Reversed);
        Hold(publisher.GetAttribute("name") == subject, "the publisher, who should be " + subject);
        Hold(One(licence, "//as:X509SubjectName", names).InnerText == subject, "the licence's publisher");
        Console.WriteLine("publisherIdentity " + publisher.GetAttribute("issuerKeyHash"));

        var stamp = inner.SelectSingleNode("ds:Object/as:Timestamp", names);
        if (stamp != null) Console.WriteLine("Timestamp " + stamp.InnerText);
    }

    static XmlDocument Load(string text)
    {
        var document = new XmlDocument { PreserveWhitespace = true };
        document.LoadXml(text.TrimStart('\uFEFF'));
        return document;
    }

    static void Signed(XmlDocument document, XmlElement signature)
    {
        var check = new SignedXml(document);
        check.LoadXml(signature);
        Hold(check.CheckSignature(), signature.GetAttribute("Id"));
    }

    static XmlElement One(XmlNode node, string path, XmlNamespaceManager names)
    {
        var found = node.SelectNodes(path, names);
        Hold(found.Count == 1, path);
        return (XmlElement)found[0];
    }

    static void Hold(bool holds, string what)
    {
        if (!holds) throw new Exception("It does not hold: " + what);
    }
}
