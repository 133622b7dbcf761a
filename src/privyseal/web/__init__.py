"""The network's side: routes, problem documents, and the batches in which work is handed to the synchronous core."""
