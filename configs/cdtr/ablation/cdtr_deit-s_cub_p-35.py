# CDTR on CUB-200-2011, fraction p of the cells that OCM suppresses (Table VII): 0.35 in place of 0.25.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(loss_ocm_s=dict(ratio=0.35)))
