# LCTR (Chen et al., AAAI 2022), DeiT-S/16 at 224 on CUB-200-2011.
_base_ = ['./_base_/deit-s.py', '../catr/_base_/cub.py']
model = dict(head=dict(num_classes=200), map_to_box=dict(threshold=0.09))
