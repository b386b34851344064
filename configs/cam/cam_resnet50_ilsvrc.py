# CAM (Zhou et al., CVPR 2016), ResNet-50 on ILSVRC2012, trained as in wsolevaluation (Choe et al., CVPR 2020).
# Published hyper-parameters as quoted by later repositories; the authors' own table was not at hand.
_base_ = [
    '../_base_/datasets/ilsvrc_224.py',
    '../_base_/schedules/cam_ilsvrc.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmpretrain.ResNet', depth=50, strides=(1, 2, 1, 1)),  # 28x28 map
    head=dict(type='mmwsol.LinearCAMHead', num_classes=1000, in_channels=2048),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),  # 20 % of the maximum: CAM paper
    init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-19c8e357.pth'))
optim_wrapper = dict(
    optimizer=dict(lr=3.108411e-5, weight_decay=1e-4),
    # Ten times faster: the last stage too, as in the official code.
    paramwise_cfg=dict(custom_keys={'backbone.layer4.': dict(lr_mult=10.), 'head.fc.': dict(lr_mult=10.)}))
train_dataloader = dict(batch_size=32)
