# CDTR on CUB-200-2011, component ablation (Table V): CSM and OCM, which is CATR with the schedule and the threshold of
# CDTR.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(with_ski=False, map_losses=dict(loss_sba=None)))
