"""The pages for people, under ``/console``: plain forms, our own style, one script for passkeys, no build step."""
