"""Files that tools keep beside weights: what they say about an adapter, and its preview pictures.

```
noir.safetensors
noir.civitai.info     Civitai Helper: the answer of Civitai's API for a version
noir.json             A1111, Forge: what the user typed into the card of the model
noir.metadata.json    LoRA Manager: both
noir.cm-info.json     Stability Matrix: an excerpt of Civitai's answer
noir.swarm.json       SwarmUI: a header in the form of modelspec
noir.preview.png      a preview picture, also noir.png
```
"""
