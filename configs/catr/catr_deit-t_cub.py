# CATR, DeiT-T/16 at 224 on CUB-200-2011. The authors publish DeiT-S only: its settings.
_base_ = ['./catr_deit-s_cub.py']
model = dict(
    backbone=dict(arch='deit-tiny'),
    head=dict(in_channels=192, attn_shape=(12, 3)),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))
