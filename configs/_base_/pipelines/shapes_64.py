# Shapes, as they are rendered: 64x64.
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.PackLocInputs'),
]
