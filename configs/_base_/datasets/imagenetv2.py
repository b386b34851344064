# ILSVRC2012 with ImageNetV2 for validation: the held-out set on which wsolevaluation chooses models and thresholds. The
# test set is ILSVRC's own val.
_base_ = ['./ilsvrc.py']
val_dataloader = dict(
    dataset=dict(_delete_=True, type='mmwsol.ImageNetV2', data_root='data/ImageNetV2', test_mode=True))
