"""What an experienced administrator would remark about a valid `lvs.cf`: one file a subject, one function a rule.

A rule takes values and their places and yields advice; it knows no text and no mode. Open `advice.py` first.
"""
