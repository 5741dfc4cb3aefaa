"""What is done to a finished drawing: prints, paints, materials, light, weather, borders.

Everything is made for pictures of 256 px. Textures repeat every 8, 16 or 32 px, because a
latent's cell is 32 px wide: the decoder can then draw the same texture into each cell. What
does not repeat (a torn edge, a glow, falling leaves) is large and at a fixed place.
"""
