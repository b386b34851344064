# SAT (Wu et al., ICCV 2023), DeiT-T/16 at 224 on CUB-200-2011.
_base_ = ['./sat_deit-s_cub.py']
model = dict(
    backbone=dict(arch='deit-tiny'),
    head=dict(in_channels=192),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))
