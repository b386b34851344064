# CDTR on ILSVRC2012, number K of blocks of OCM's pseudo map (Table VIII): 8 in place of 10.
_base_ = ['../cdtr_deit-s_ilsvrc.py']
model = dict(head=dict(ocm_blocks=8))
