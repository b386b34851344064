# TS-CAM (Gao et al., ICCV 2021), DeiT-T/16 at 224 on CUB-200-2011.
_base_ = ['./ts-cam_deit-s_cub.py']
model = dict(
    backbone=dict(arch='deit-tiny'),
    head=dict(in_channels=192),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))
