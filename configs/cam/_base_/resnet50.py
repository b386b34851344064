model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmpretrain.ResNet', depth=50, strides=(1, 2, 1, 1)),  # 28x28 map
    head=dict(type='mmwsol.LinearCAMHead', in_channels=2048),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),  # 20 % of the maximum: CAM paper
    init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-19c8e357.pth'))
