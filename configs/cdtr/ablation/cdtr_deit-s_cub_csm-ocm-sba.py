# CDTR on CUB-200-2011, component ablation (Table V): CSM, OCM and SBA.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(with_ski=False))
