# CAM (Zhou et al., CVPR 2016), VGG16 on ILSVRC2012, trained as in wsolevaluation (Choe et al., CVPR 2020).
# Published hyper-parameters as quoted by later repositories; the authors' own table was not at hand.
_base_ = [
    '../_base_/datasets/ilsvrc_224.py',
    '../_base_/schedules/cam_ilsvrc.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.VGG16CAM'),
    head=dict(type='mmwsol.LinearCAMHead', num_classes=1000, in_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),  # 20 % of the maximum: CAM paper
    init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/vgg16-397923af.pth'))
optim_wrapper = dict(
    optimizer=dict(lr=1.654502e-5, weight_decay=5e-4),
    # Ten times faster: what is not 'features.' in the official code.
    paramwise_cfg=dict(custom_keys={'backbone.conv6.': dict(lr_mult=10.), 'head.fc.': dict(lr_mult=10.)}))
train_dataloader = dict(batch_size=32)
