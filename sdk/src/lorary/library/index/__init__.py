"""The index of the local library: what is known about the adapters in folders.

```
walk     folders ─▶ files: path, identity, companions; no file is read
read     files with an unknown identity ─▶ contents: hashes and anatomy
relate   names and anatomy ─▶ series: epochs of one run, halves of a pair
ask      hashes ─▶ what a hub has of them
```

Each step continues from what the index lacks, so a killed scan goes on where it was. A file is
identified by its device, inode, size and time of change; one that was only moved is not read again.
"""
