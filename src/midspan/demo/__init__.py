"""`midspan demo`: four integrations end to end, on real input, with processes of their own."""
