"""A motion adapter for the miniature: with it, the base and all its adapters make videos.

    python -m training.miniature.motion --miniature previews/miniature --work FOLDER

The UNet stays as it is; only the modules between the frames are trained.
"""
