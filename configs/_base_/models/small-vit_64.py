# A small vision transformer for 64x64 images, trained from scratch: every method is compared on it. The convolutional
# stem makes it learn from few images.
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(
        type='mmwsol.TapViT',
        arch=dict(embed_dims=128, num_layers=3, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
        stem=dict(type='mmwsol.ConvStem', channels=(24, 48, 96))))
