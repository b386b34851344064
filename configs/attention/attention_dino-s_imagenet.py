# Attention of the class token of DINO's ViT-S/16 (Caron et al., ICCV 2021), learned without labels: class-agnostic boxes.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='vit_small_patch16_224.dino'),
    init_cfg=dict(checkpoint='timm://vit_small_patch16_224.dino'))
