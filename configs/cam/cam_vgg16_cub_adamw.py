# CAM (Zhou et al., CVPR 2016), VGG16 on CUB-200-2011, trained as in TRT's repository. No published number belongs to it.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/cam-adamw_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.VGG16CAM'),
    head=dict(type='mmwsol.LinearCAMHead', num_classes=200, in_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1),
    init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/vgg16-397923af.pth'))
train_dataloader = dict(batch_size=64)
