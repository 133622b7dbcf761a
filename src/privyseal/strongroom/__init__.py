"""The guarded processes (signer, logger, stamper), each with what it alone holds, and the sockets that lead to them."""
