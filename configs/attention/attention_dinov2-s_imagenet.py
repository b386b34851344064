# Attention of the class token of DINOv2's ViT-S/14 with registers (Oquab et al., 2023), learned without labels: class-agnostic boxes.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='vit_small_patch14_reg4_dinov2.lvd142m'),
    init_cfg=dict(checkpoint='timm://vit_small_patch14_reg4_dinov2.lvd142m'))
