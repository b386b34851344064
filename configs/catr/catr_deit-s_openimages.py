# CATR, DeiT-S/16 at 224 on OpenImages30k (Table IV: PxAP). The authors give no settings for it: those of CUB, with the
# pipeline that the paper states and the whole image at test, as masks need it.
_base_ = [
    '../_base_/datasets/openimages_224.py',
    '../_base_/schedules/cdtr_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1, tap_in_train=True),
    head=dict(
        type='mmwsol.CATRHead',
        num_classes=100,
        in_channels=384,
        attn_shape=(12, 6),
        c_base=8,
        ocm_blocks=9,
        loss_ocm_s=dict(type='mmwsol.NoiseSuppressionLoss', ratio=0.25, reduce='mean', loss_weight=128),
        loss_ocm_a=dict(type='mmwsol.ObjectAwakeningLoss', pairs='same')),
    map_to_box=dict(type='mmwsol.ContourBox', preset='catr', threshold=0.1),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
train_dataloader = dict(batch_size=512, drop_last=True)
# The epoch is chosen on val; tools/test.py reports on test.
default_hooks = dict(checkpoint=dict(save_best='seg/pxap', rule='greater'))
# CATR's schedule is CDTR's with 80 epochs.
param_scheduler = dict(end=80)
train_cfg = dict(max_epochs=80)
