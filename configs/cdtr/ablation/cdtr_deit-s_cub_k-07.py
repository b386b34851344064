# CDTR on CUB-200-2011, number K of blocks of OCM's pseudo map (Table VIII): 7 in place of 9.
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(ocm_blocks=7))
