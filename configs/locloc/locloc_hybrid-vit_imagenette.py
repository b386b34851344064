# LocLoc on Imagenette, a transformer behind EfficientNet-Lite0.
# The first stage is that of ts-cam_hybrid-vit_imagenette.py; its network gives the attention, as DINO does officially,
# and is the frozen backbone.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
# As in sat_hybrid-vit_imagenette.py: the class token's attention, of which the masks are made, is better on small tokens.
model = dict(backbone=dict(stem=dict(norm_scale=0.1)))
# The generator wants images of the size that it was trained on.
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
generator_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.PackLocInputs'),
]
classifier_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
localizer = dict(
    map_to_box=dict(type='mmwsol.ContourBox', preset='locloc'),
    backbone=dict(tap='none', out_tokens=(0, -1)),
    head=dict(
        _delete_=True,
        type='mmwsol.LocLocHead',
        num_classes=10,
        in_channels=128,
        train_part='generator',
        generator=dict(type='unet', unet_channels=32, deconv_channels=32),  # official: 200 and 256, slow on a CPU
        classifier=dict(num_layers=2, num_heads=4, feedforward_channels=256)))
stages = [
    dict(name='pretrain'),
    dict(
        name='masks',
        train_dataloader=dict(dataset=dict(k_shot=50, pipeline=test_pipeline)),
        train_cfg=dict(
            _delete_=True, type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.PseudoMaskWriter', preset='paper', delta0=0.05, delta1=0.3, uncertain_label=3))),
    dict(
        name='generator',
        model=localizer,
        train_dataloader=dict(dataset=dict(k_shot=50, pipeline=generator_pipeline)),
        param_scheduler=[],
        train_cfg=dict(max_epochs=3, val_interval=3)),
    dict(
        name='classifier',
        model=dict(localizer, head=dict(localizer['head'], train_part='classifier')),
        train_dataloader=dict(dataset=dict(k_shot=50, pipeline=classifier_pipeline)),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=3, val_interval=3)),
]
