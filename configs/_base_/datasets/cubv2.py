# CUB-200-2011 with CUBv2 for validation: the held-out set on which wsolevaluation chooses models and thresholds. The
# test set is CUB's own.
_base_ = ['./cub.py']
val_dataloader = dict(dataset=dict(_delete_=True, type='mmwsol.CUBv2', data_root='data/CUBV2', test_mode=True))
