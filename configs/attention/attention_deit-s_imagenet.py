# Attention of the class token of DeiT-S/16 (Touvron et al., ICML 2021), of all blocks: classes, and boxes for none of them.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='deit_small_patch16_224.fb_in1k', tap_layers=None),
    init_cfg=dict(checkpoint='timm://deit_small_patch16_224.fb_in1k'))
