# CATR (Chen et al., ICCV 2023), DeiT-S/16 at 224 on CUB-200-2011.
_base_ = ['./_base_/deit-s.py', './_base_/cub.py']
model = dict(
    head=dict(num_classes=200, c_base=8, ocm_blocks=9, loss_ocm_s=dict(ratio=0.25)),
    map_to_box=dict(threshold=0.1))
