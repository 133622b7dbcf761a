"""X.509, CMS and the DER beneath them: read as it stands, built octet by octet, judged without network or clock."""
