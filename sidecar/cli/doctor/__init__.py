"""`sidecar doctor`: whether everything around the sidecar is as it should be, and what to do if not."""
