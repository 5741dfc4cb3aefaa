"""The look report: what an adapter does to pictures, measured from rendered ones."""
