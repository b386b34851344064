# LCTR (Chen et al., AAAI 2022), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = [
    '../_base_/datasets/ilsvrc_224_deit-aug.py',
    '../_base_/schedules/cdtr_ilsvrc.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1, tap='full', tap_in_train=True),
    head=dict(type='mmwsol.LCTRHead', num_classes=1000, in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', default_box='frame', threshold=0.18),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
# LCTR's batch is 4 x 256; the learning rate 5e-4 of the command line is for 512 images.
train_dataloader = dict(batch_size=1024)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=1024)
