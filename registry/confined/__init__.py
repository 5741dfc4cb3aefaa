"""Work on files that users sent, in processes of their own with limits."""
