# CAM of EfficientNet-Lite0 on Imagenette with finer maps: the last convolutions are dilated, so that maps have stride 16, and
# images are larger (20x20 cells in place of 7x7). Chosen on the calibration half.
_base_ = ['./cam_efficientnet-lite0_imagenette.py']
model = dict(backbone=dict(output_stride=16))
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(320, 320)),
    dict(type='mmwsol.PackLocInputs'),
]
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
