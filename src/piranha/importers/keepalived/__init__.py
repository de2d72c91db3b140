"""keepalived.conf: `lines.py` (includes, definitions, conditions), `blocks.py` (braces), then the translators."""
