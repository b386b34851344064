# CDTR on CUB-200-2011, component ablation (Table V): CSM alone.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(with_ocm=False, with_ski=False, map_losses=dict(loss_sba=None)))
