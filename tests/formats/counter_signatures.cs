// What Microsoft's own SignedCms, and NuGet's own classes, find in the message of a counter-signed package.
// counter_signatures.exe MESSAGE NUGET.EXE

using System;
using System.Collections;
using System.IO;
using System.Reflection;
using System.Security.Cryptography.Pkcs;

class CounterSignatures
{
    static void Main(string[] arguments)
    {
        byte[] octets = File.ReadAllBytes(arguments[0]);
        var message = new SignedCms();
        message.Decode(octets);
        foreach (SignerInfo signer in message.SignerInfos)
        {
            signer.CheckSignature(true);
            Console.WriteLine("signer " + signer.Certificate.Subject);
            foreach (SignerInfo counter in signer.CounterSignerInfos)
            {
                counter.CheckSignature(true);
                Console.WriteLine("counter-signer " + counter.Certificate.Subject);
            }
        }
        Assembly nuget = Assembly.LoadFrom(arguments[1]);
        Type primary = nuget.GetType("NuGet.Packaging.Signing.PrimarySignature", true);
        Type repository = nuget.GetType("NuGet.Packaging.Signing.RepositoryCountersignature", true);
        object loaded = primary.GetMethod("Load", new[] { typeof(byte[]) }).Invoke(null, new object[] { octets });
        object found = repository.GetMethod("GetRepositoryCountersignature").Invoke(null, new[] { loaded });
        Console.WriteLine("index " + repository.GetProperty("V3ServiceIndexUrl").GetValue(found));
        foreach (object owner in (IEnumerable)repository.GetProperty("PackageOwners").GetValue(found))
            Console.WriteLine("owner " + owner);
    }
}
