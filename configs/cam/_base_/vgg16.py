model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.VGG16CAM'),
    head=dict(type='mmwsol.LinearCAMHead', in_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),  # 20 % of the maximum: CAM paper
    init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/vgg16-397923af.pth'))
