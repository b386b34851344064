# DiPS without its CRF loss, Table 6 of the paper.
_base_ = ['./dips_dino-s_cub.py']
model = dict(head=dict(loss_crf=None))
