# CDTR, DeiT-B/16 at 224 on CUB-200-2011. The authors publish DeiT-S only: its settings.
# The attention adds 12 heads in place of 6: map_scale gives it the size for which the losses were weighted.
_base_ = ['./cdtr_deit-s_cub.py']
model = dict(
    backbone=dict(arch='deit-base'),
    head=dict(in_channels=768, attn_shape=(12, 12), map_scale=6 / 12),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
