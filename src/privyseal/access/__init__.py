"""Who you are (credentials), what you may (permissions), who must agree (quorum): judgement only, no I/O, no clock."""
