# CATR (Chen et al., ICCV 2023), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = ['./_base_/deit-s.py', './_base_/ilsvrc.py']
model = dict(
    head=dict(num_classes=1000, c_base=256, ocm_blocks=10, loss_ocm_s=dict(ratio=0.1)),
    map_to_box=dict(threshold=0.15))
