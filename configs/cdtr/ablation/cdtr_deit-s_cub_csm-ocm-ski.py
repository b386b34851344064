# CDTR on CUB-200-2011, component ablation (Table V): CSM, OCM and SKI: CDTR without CLIP.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(map_losses=dict(loss_sba=None)))
