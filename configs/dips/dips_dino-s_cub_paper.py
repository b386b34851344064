# DiPS as its paper's text has it: no limit to the area of proposals, background outside all of them, no dilation.
_base_ = ['./dips_dino-s_cub.py']
decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=5, all_boxes=True),
    dict(
        type='mmwsol.PackLocInputs',
        algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img', 'all_proposals_mask']),
]
model = dict(head=dict(sampler=dict(kernel_size=1, exclude_boxes='all')))
stages = [
    {{_base_.classifier_stage}},
    dict(
        name='proposals',
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(
            type='mmwsol.ProposalWriter', min_area=0.))),
    dict(
        name='decoder',
        model=dict(head=dict(train_part='decoder')),
        train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline))),
]
